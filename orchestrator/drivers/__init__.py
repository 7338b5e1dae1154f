"""What we call outside: one module or folder per counterpart, and no business word."""
