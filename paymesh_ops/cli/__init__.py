"""The people's entrance: the command `paymesh`."""
