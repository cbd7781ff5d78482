"""The ledger: accounts, journals and entries, and what of business is booked how."""
