"""Files as arrays: pictures, archives, box annotations, downloads."""
