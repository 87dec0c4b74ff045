"""Stand-ins for what cannot be had here. Each says what it shows, and what it cannot show."""
