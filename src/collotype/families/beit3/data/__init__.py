"""What BEiT-3 is asked: pictures, questions about them, and what people answered."""
