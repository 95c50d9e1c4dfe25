"""The synthetic cohort: invented patients and drawn images in the layout of CheXchoNet."""
