"""What maps are worth as sound: separation and denoising, measured against the stems."""
