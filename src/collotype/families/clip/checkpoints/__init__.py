"""CLIPs in folders and files: where they lie (`places`), and what they hold (`reading`)."""
