"""Verification of conversions: a check at each conversion, and `verify`."""
