"""What people look at: pages and charts, made from plain data by templates."""
