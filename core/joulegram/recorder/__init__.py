"""Opens meters, samples them in the background, takes spans and phases, and emits records to the sink it is given."""
