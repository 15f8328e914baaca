"""What administrators set: the models of their two files, and the reader of both."""
