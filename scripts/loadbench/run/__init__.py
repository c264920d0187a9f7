"""The wing that touches the cloud and writes records."""
