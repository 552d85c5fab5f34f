"""The rules. They import ports only, never a driver or a socket; every method takes the
caller's Principal."""
