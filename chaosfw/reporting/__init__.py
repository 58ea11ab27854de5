"""What a reader sees: one page, one summary, a few lines at the terminal. It reads records and judges nothing."""
