"""Trade core: connects the company's business systems to payment."""
