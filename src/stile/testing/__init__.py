"""What tests of Stile, and of things built on Stile, run against: real servers in small."""
