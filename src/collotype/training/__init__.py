"""How steps are taken: the loop, the negatives, the order, the optimiser, what is needed to go on."""
