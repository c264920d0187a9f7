"""What a scaling policy does with a traffic: simulated, before anything is paid for (docs/what-if.md)."""
