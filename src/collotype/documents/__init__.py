"""PDFs and scans: pages as images, and their words with boxes, from the text layer or by OCR."""
