"""What goes in and what comes out, field by field."""
