"""Pages and API of the rules that give roles for claims, and the alert about accounts for emergencies."""
