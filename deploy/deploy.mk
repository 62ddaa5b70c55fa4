# Installing packages, demo, installation, containers.
