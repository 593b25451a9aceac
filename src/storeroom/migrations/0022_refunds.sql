-- Held for what comes; replaced by its owner.
SELECT 1;
