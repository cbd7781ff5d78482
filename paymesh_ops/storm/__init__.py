"""The storm: load while everything dies, then the question whether every cent is explained."""
