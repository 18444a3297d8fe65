"""What every room stands on: params, the project folder, errors, devices, whole files."""
