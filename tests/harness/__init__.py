"""What the tests run against: a Docker Engine, a registry, small images, and a load of clients."""
