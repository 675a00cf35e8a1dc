"""What people look at: model cards, pictures, HTML pages."""
