"""Which agent a text belongs to, by likeness: duties, words, vectors, one score. Pure: whoever embeds is an argument."""
