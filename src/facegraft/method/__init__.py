"""The patented method: latents, fusion, decoding, verdict, tuning."""
