"""Engine: sends the due jobs of a batch to their providers, within limits and budgets; knows neither HTTP nor SQL."""
