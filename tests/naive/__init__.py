"""The independent oracle: decode and fold written from the contract alone, deliberately naive, sharing no code with the product."""
