"""What programs run on: devices, memory, compiled programs and their cache."""
