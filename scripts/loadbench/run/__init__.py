"""Everything that calls AWS and writes records."""
