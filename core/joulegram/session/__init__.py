"""The face of joulegram: `live` tracks, `recorded` reads back, `document` makes plain data for the views."""
