"""What the product costs and reaches, measured; one module or package per question."""
