"""What people pass in: names, masks, tables, and the memory that they need."""
