"""Changes of the schema, run by the program itself."""
