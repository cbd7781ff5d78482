"""What people and tests run: commands, servers, checks, storms, measurements.

No service imports it."""
