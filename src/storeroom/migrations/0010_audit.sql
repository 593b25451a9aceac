-- Nothing yet: this number is kept, so that the numbers before and after it have no gap. Write over this file.
SELECT 1;
