"""Reports: model cards, pictures, HTML pages."""
