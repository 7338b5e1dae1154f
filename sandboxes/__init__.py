"""Local stand-ins for third parties we cannot reach, speaking their real protocols."""
