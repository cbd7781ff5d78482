"""Payment core: carries a payment out as typed instructions, whatever fails on the way."""
