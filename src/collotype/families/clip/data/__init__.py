"""What CLIP trains on, pictures with captions, and what it classifies, pictures with labels."""
