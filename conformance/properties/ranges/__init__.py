"""Laws of sizes and numbers at which code takes another way."""
