"""The orders fleet: stock, money and parcels, each booked once, and what takes each of them back."""
