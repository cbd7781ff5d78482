"""The books: days, balances of any day and as known at any time, and what others read of them."""
