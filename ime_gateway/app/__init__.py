"""The roof: builds the real adapters, puts them together, starts and watches them."""
