"""Evidently's page of a window, made of our numbers and held against our verdict."""
