"""What the product promises about speed and size, measured: `python -m bench.<name>`."""
