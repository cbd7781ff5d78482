"""What is parked for a person: dead letters of the bus and notifications that nobody took."""
