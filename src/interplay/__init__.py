"""Helpers of the book *Randomness and Structure*; the science is read in the chapters."""
