"""Links of public datasets to a cohort with echocardiogram labels."""
