"""What may be wrong with a set-up, looked at one by one: `pirate doctor`."""
